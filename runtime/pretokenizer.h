// Cuts text into the pieces within which BPE merges, by a sequence of regular expressions.
//
// Each expression cuts every piece of the one before it into its matches and what lies between
// them; the pieces cover the text exactly. Expressions see one piece at a time: a look-ahead ends
// where the piece ends. Matching uses PCRE2 (Unicode properties, compiled to machine code where
// the system allows it) and cannot overflow the stack: a text that needs too much backtracking is
// an error. Immutable after creation; thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

class PreTokenizer {
 public:
  using Visitor = std::function<void(std::string_view piece)>;

  // kMalformed when an expression does not compile.
  static Result<PreTokenizer> Create(std::span<const std::string_view> patterns);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // Calls `visit` for the pieces in order; none is empty. `text` must be well-formed UTF-8.
  // kTooLarge when an expression needs more steps or memory than allowed.
  Result<void> Split(std::string_view text, const Visitor& visit) const;

  size_t memory_bytes() const;

 private:
  struct Expression;
  struct Scratch;

  PreTokenizer();
  Result<void> SplitFrom(size_t level, std::string_view text, std::vector<Scratch>& scratch,
                         const Visitor& visit) const;

  std::vector<Expression> expressions_;
};

}  // namespace gguf_shard
