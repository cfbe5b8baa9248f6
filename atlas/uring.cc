#include "atlas/uring.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace gguf_shard {
namespace {

constexpr uint64_t kBellToken = ~uint64_t{0};
// The kernel's limit on one registered piece of memory.
constexpr size_t kMaxPieceBytes = size_t{1} << 30;

Error NoUring(int error_number) {
  return Error(ErrorCode::kUnsupported,
               fmt::format("this system does not allow io_uring: {}", std::strerror(error_number)));
}

// liburing maps and unmaps a ring's memory by bare system calls, so a ring may lie where another
// one lay that a thread has just closed. The kernel orders the two; this tells the thread
// sanitizer.
std::atomic<uint32_t> closed_rings = 0;

}  // namespace

Result<std::unique_ptr<Uring>> Uring::Create(int file_descriptor, uint32_t depth) {
  std::unique_ptr<Uring> uring(new Uring);
  uring->file_descriptor_ = file_descriptor;
  uring->bell_ = eventfd(0, EFD_CLOEXEC);
  if (uring->bell_ < 0) return Fail(NoUring(errno));
  const int status = io_uring_queue_init(depth + 1, &uring->ring_, 0);
  if (status < 0) return Fail(NoUring(-status));
  uring->has_ring_ = true;
  closed_rings.load(std::memory_order_acquire);
  // Also shows whether this kernel has the operation at all (5.6).
  if (!uring->ListenToBell()) return Fail(NoUring(EINVAL));
  io_uring_cqe* entry = nullptr;
  if (io_uring_peek_cqe(&uring->ring_, &entry) == 0 && entry->res < 0) {
    return Fail(NoUring(-entry->res));
  }
  return uring;
}

Uring::~Uring() {
  if (has_ring_) {
    closed_rings.fetch_add(1, std::memory_order_release);
    io_uring_queue_exit(&ring_);
  }
  if (bell_ >= 0) close(bell_);
}

bool Uring::Register(std::span<std::byte> memory) {
  std::vector<iovec> pieces;
  for (size_t done = 0; done < memory.size(); done += kMaxPieceBytes) {
    const auto piece = memory.subspan(done, std::min(kMaxPieceBytes, memory.size() - done));
    pieces.push_back({piece.data(), piece.size()});
  }
  if (pieces.empty() || pieces.size() > UIO_MAXIOV) return false;
  const auto count = static_cast<unsigned>(pieces.size());
  if (io_uring_register_buffers(&ring_, pieces.data(), count) != 0) return false;
  registered_ = std::move(pieces);
  return true;
}

std::optional<uint16_t> Uring::RegisteredPiece(std::span<const std::byte> target) const {
  for (size_t i = 0; i < registered_.size(); ++i) {
    const auto* start = static_cast<const std::byte*>(registered_[i].iov_base);
    if (target.data() < start) continue;
    const auto offset = static_cast<size_t>(target.data() - start);
    if (offset + target.size() <= registered_[i].iov_len) return static_cast<uint16_t>(i);
  }
  return std::nullopt;
}

bool Uring::Start(uint32_t token, uint64_t offset, std::span<std::byte> target) {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) return false;
  const auto bytes = static_cast<unsigned>(target.size());
  if (const auto piece = RegisteredPiece(target)) {
    io_uring_prep_read_fixed(entry, file_descriptor_, target.data(), bytes, offset, *piece);
  } else {
    io_uring_prep_read(entry, file_descriptor_, target.data(), bytes, offset);
  }
  io_uring_sqe_set_data64(entry, token);
  // What is not taken now stays queued, and the next call hands it over.
  io_uring_submit(&ring_);
  return true;
}

bool Uring::ListenToBell() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) return false;
  io_uring_prep_read(entry, bell_, &bell_count_, sizeof bell_count_, 0);
  io_uring_sqe_set_data64(entry, kBellToken);
  listening_ = io_uring_submit(&ring_) >= 0;
  return listening_;
}

std::optional<Uring::Ended> Uring::Next(bool wait) {
  if (!listening_) ListenToBell();
  io_uring_cqe* entry = nullptr;
  if (io_uring_peek_cqe(&ring_, &entry) != 0) {
    if (!wait) return std::nullopt;
    // One call hands over what is still queued and sleeps. An interruption counts as the bell.
    if (io_uring_submit_and_wait(&ring_, 1) < 0) return std::nullopt;
    if (io_uring_peek_cqe(&ring_, &entry) != 0) return std::nullopt;
  }
  return Take(entry);
}

std::optional<Uring::Ended> Uring::Take(io_uring_cqe* entry) {
  const uint64_t token = io_uring_cqe_get_data64(entry);
  const int64_t result = entry->res;
  io_uring_cqe_seen(&ring_, entry);
  if (token != kBellToken) return Ended{static_cast<uint32_t>(token), result};
  listening_ = false;
  ListenToBell();
  return std::nullopt;
}

void Uring::RingBell() const {
  const uint64_t one = 1;
  // It can only fail when the bell has rung 2^64 - 2 times unheard.
  static_cast<void>(!write(bell_, &one, sizeof one));
}

}  // namespace gguf_shard
