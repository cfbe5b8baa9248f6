// The one error type of the project, and Result<T>, the value every fallible function returns.
//
// An Error holds a code (stable, maps to an exit code), one sentence for people, and the numbers
// that belong to it (file, tensor, page, offset, expected, found). Input never aborts the process:
// bytes from outside become Errors; our own mistakes hit GS_CHECK (core/check.h).
//
// Thread-safety: value types without shared state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace gguf_shard {

enum class ErrorCode : uint8_t {
  kInvalidArgument,   // the caller's request makes no sense (flags, options)
  kNotFound,          // a file, tensor or key that is needed is absent
  kAlreadyExists,     // an output exists and --force was not given
  kIo,                // the operating system failed a read, write, sync or rename
  kTruncated,         // a file ends before what its own header promises
  kMalformed,         // bytes from outside contradict the format or themselves
  kUnsupported,       // well-formed, but of a kind that this program does not handle
  kTooLarge,          // a count or length above what we accept
  kChecksumMismatch,  // a page tag, index entry or digest does not match: damaged data
  kMismatch,          // two good files that do not belong together (wrong base, wrong core)
  kNoSpace,           // not enough free disk space
  kOutOfMemory,       // an allocation was refused
  kBudgetTooSmall,    // the memory budget cannot hold the minimum
  kCancelled,         // the user interrupted
  kDevice,            // a Vulkan device failed
};

// A short stable name, for example "checksum_mismatch"; used in JSON reports.
std::string_view ErrorCodeName(ErrorCode code);

class Error {
 public:
  Error(ErrorCode code, std::string sentence) : code_(code), sentence_(std::move(sentence)) {}

  // Each names one circumstance; chainable on a temporary. By value, so that
  // `error = std::move(error).Offset(n)` is no self-move.
  Error File(std::string path) &&;
  Error Tensor(std::string name) &&;
  Error Page(uint64_t page_index) &&;
  Error Offset(uint64_t byte_offset) &&;
  Error Expected(std::string value) &&;
  Error Expected(uint64_t value) &&;
  Error Found(std::string value) &&;
  Error Found(uint64_t value) &&;

  ErrorCode code() const { return code_; }
  const std::string& sentence() const { return sentence_; }
  const std::string& file() const { return file_; }
  const std::string& tensor() const { return tensor_; }
  std::optional<uint64_t> page_index() const { return page_index_; }
  std::optional<uint64_t> byte_offset() const { return byte_offset_; }
  const std::string& expected() const { return expected_; }
  const std::string& found() const { return found_; }

  // Fills the file name where a lower layer did not know it.
  void SetFileIfEmpty(std::string_view path);

  // "sentence (file F, tensor T, page P, offset O, expected E, found F)".
  std::string ToString() const;

 private:
  ErrorCode code_;
  std::string sentence_;
  std::string file_;
  std::string tensor_;
  std::optional<uint64_t> page_index_;
  std::optional<uint64_t> byte_offset_;
  std::string expected_;
  std::string found_;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }
inline tl::unexpected<Error> Fail(ErrorCode code, std::string sentence) {
  return tl::unexpected<Error>(Error(code, std::move(sentence)));
}

}  // namespace gguf_shard

#define GS_CONCAT_INNER(a, b) a##b
#define GS_CONCAT(a, b) GS_CONCAT_INNER(a, b)

// Returns the error of `expression` (a Result) from the enclosing function, if it has one.
#define GS_TRY(expression)                                                           \
  do {                                                                               \
    auto gs_try_result = (expression);                                               \
    if (!gs_try_result) return ::gguf_shard::Fail(std::move(gs_try_result).error()); \
  } while (0)

// Evaluates `expression` (a Result) once; returns its error, or assigns its value to `target`,
// which may be a declaration: GS_ASSIGN(const auto file, File::OpenRead(path)).
#define GS_ASSIGN(target, expression) \
  GS_ASSIGN_INNER(GS_CONCAT(gs_result_, __LINE__), target, expression)
#define GS_ASSIGN_INNER(result, target, expression)                  \
  auto result = (expression);                                        \
  if (!result) return ::gguf_shard::Fail(std::move(result).error()); \
  target = std::move(*result)
