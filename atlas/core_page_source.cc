#include <fcntl.h>
#include <fmt/format.h>

#include "atlas/page_source.h"

namespace gguf_shard {
namespace {

class CorePageSource final : public PageSource {
 public:
  explicit CorePageSource(const CoreFile& core) : core_(core) {
    // The operating system must not read more than it is asked for: nothing would drop that.
    if (!direct()) posix_fadvise(core_.file().descriptor(), 0, 0, POSIX_FADV_RANDOM);
  }

  Result<void> Read(uint64_t first_page, std::span<std::byte> target) override {
    auto read = core_.ReadRaw(first_page, target);
    if (!direct()) core_.file().DropCache(core_.page_offset(first_page), target.size());
    return read;
  }

  std::string Describe() const override {
    const std::string name = core_.file().path().filename().string();
    if (direct()) return fmt::format("{}, direct", name);
    return fmt::format(
        "{}, through the page cache and dropped from it after each read (opened buffered, or the "
        "file system has no direct I/O)",
        name);
  }

  std::optional<uint32_t> ListedCrc(uint64_t page) const override { return core_.ListedCrc(page); }

  std::optional<DirectFile> direct_file() const override {
    if (!direct() || core_.has_overlay()) return std::nullopt;
    return DirectFile{core_.file().descriptor(), core_.page_offset(0)};
  }

 private:
  bool direct() const { return core_.file().direct(); }

  const CoreFile& core_;
};

}  // namespace

std::unique_ptr<PageSource> MakeCorePageSource(const CoreFile& core) {
  return std::make_unique<CorePageSource>(core);
}

}  // namespace gguf_shard
