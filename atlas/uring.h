// One io_uring for reads of one file into one pool, and a bell that ends its wait. A thin layer
// over liburing: what it knows about is submission, completion and registered memory.
// Thread-safety: for one thread, but Ring, which any thread may call.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

class Uring {
 public:
  // kUnsupported when the kernel has none or forbids it. `depth`: reads in flight at most.
  static Result<std::unique_ptr<Uring>> Create(int file_descriptor, uint32_t depth);
  ~Uring();
  Uring(const Uring&) = delete;
  Uring& operator=(const Uring&) = delete;

  // Registers memory that reads will go into; false when the kernel refuses (a limit on locked
  // memory, mostly): reads then work as before, and cost a little more.
  bool Register(std::span<std::byte> memory);

  // Starts a read; false when the kernel does not take it now. `token` comes back with its end.
  bool Start(uint32_t token, uint64_t offset, std::span<std::byte> target);

  struct Ended {
    uint32_t token;
    int64_t result;  // bytes read, or a negated errno
  };
  // The next read that has ended, if there is one. With `wait`: sleeps until a read ends or the
  // bell rings.
  std::optional<Ended> Next(bool wait);

  void RingBell() const;

 private:
  Uring() = default;
  bool ListenToBell();
  std::optional<Ended> Take(io_uring_cqe* entry);
  std::optional<uint16_t> RegisteredPiece(std::span<const std::byte> target) const;

  io_uring ring_{};
  bool has_ring_ = false;
  int file_descriptor_ = -1;
  int bell_ = -1;            // an eventfd
  uint64_t bell_count_ = 0;  // where its reads go
  bool listening_ = false;
  std::vector<iovec> registered_;
};

}  // namespace gguf_shard
