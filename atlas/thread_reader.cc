#include <semaphore>

#include "atlas/page_reader.h"

namespace gguf_shard {
namespace {

class ThreadReader final : public PageReader {
 public:
  explicit ThreadReader(const PageLoader& loader) : loader_(loader) {}

  void Run(LoadQueue& queue) override {
    LoadJob job;
    LoadOutcome outcome;
    while (true) {
      switch (queue.Take(job, *this)) {
        case LoadQueue::Taken::kStopping:
          return;
        case LoadQueue::Taken::kNothing:
          wakes_.acquire();
          break;
        case LoadQueue::Taken::kJob:
          loader_.Load(job, outcome);
          queue.End(job, outcome);
      }
    }
  }

  void Wake() override { wakes_.release(); }

 private:
  const PageLoader& loader_;
  std::counting_semaphore<> wakes_{0};
};

}  // namespace

std::unique_ptr<PageReader> MakeThreadReader(const PageLoader& loader) {
  return std::make_unique<ThreadReader>(loader);
}

}  // namespace gguf_shard
