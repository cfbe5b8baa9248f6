#include "runtime/pretokenizer.h"

#include <fmt/core.h>

#include <array>
#include <string>

#include "core/check.h"
#include "runtime/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace gguf_shard {

// Outside of the anonymous namespace, since parts of PreTokenizer hold them.
struct PcreFreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct PcreFreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct PcreFreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, PcreFreeCode>;
using MatchData = std::unique_ptr<pcre2_match_data, PcreFreeMatchData>;
using MatchContext = std::unique_ptr<pcre2_match_context, PcreFreeMatchContext>;

namespace {

// What one match may cost. Patterns in use need a few steps a character; the memory counts only
// where the machine-code matcher gave up and the interpreter, which needs no stack, took over.
constexpr uint32_t kMatchStepLimit = 1U << 30;
constexpr uint32_t kMatchHeapLimitKib = 128 * 1024;

std::string PcreMessage(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// PCRE2's \s has U+180E, which is no white space to Unicode and to the engines that these patterns
// were written for; the property has exactly what they have.
std::string WithUnicodeWhiteSpace(std::string_view pattern) {
  std::string result;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      result.push_back(pattern[i]);
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 's') {
      result.append("\\p{White_Space}");
    } else if (escaped == 'S') {
      result.append("\\P{White_Space}");
    } else {
      result.append({'\\', escaped});
    }
  }
  return result;
}

MatchContext MakeMatchContext() {
  MatchContext context(pcre2_match_context_create(nullptr));
  if (context == nullptr) return context;
  pcre2_set_match_limit(context.get(), kMatchStepLimit);
  pcre2_set_heap_limit(context.get(), kMatchHeapLimitKib);
  return context;
}

// The text was checked: PCRE2 must not check it again at every match.
constexpr uint32_t kMatchOptions = PCRE2_NO_UTF_CHECK;

}  // namespace

struct PreTokenizer::Expression {
  Code code;
};

// What a call of Split needs to match with one expression.
struct PreTokenizer::Scratch {
  MatchData data;
  MatchContext context;

  // pcre2_match: a positive number, PCRE2_ERROR_NOMATCH or an error.
  int Match(const Expression& expression, std::string_view text, size_t start) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const auto run = [&](uint32_t options) {
      return pcre2_match(expression.code.get(), subject, text.size(), start, options, data.get(),
                         context.get());
    };
    const int result = run(kMatchOptions);
    return result == PCRE2_ERROR_JIT_STACKLIMIT ? run(kMatchOptions | PCRE2_NO_JIT) : result;
  }
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::Create(std::span<const std::string_view> patterns) {
  PreTokenizer pre_tokenizer;
  for (const std::string_view pattern : patterns) {
    const std::string adapted = WithUnicodeWhiteSpace(pattern);
    int error_code = 0;
    PCRE2_SIZE error_offset = 0;
    Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(adapted.data()), adapted.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &error_code,
                            &error_offset, nullptr));
    if (code == nullptr) {
      return Fail(Error(ErrorCode::kMalformed,
                        fmt::format("The regular expression \"{}\" does not compile: {}", adapted,
                                    PcreMessage(error_code)))
                      .Offset(error_offset));
    }
    // Without machine code (a system that forbids it) the interpreter matches the same, slower.
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    pre_tokenizer.expressions_.push_back({std::move(code)});
  }
  return pre_tokenizer;
}

Result<void> PreTokenizer::Split(std::string_view text, const Visitor& visit) const {
  std::vector<Scratch> scratch;
  scratch.reserve(expressions_.size());
  for (const Expression& expression : expressions_) {
    scratch.push_back(
        {MatchData(pcre2_match_data_create_from_pattern(expression.code.get(), nullptr)),
         MakeMatchContext()});
    if (scratch.back().data == nullptr || scratch.back().context == nullptr) {
      return Fail(ErrorCode::kOutOfMemory, "No memory to match regular expressions with");
    }
  }
  return SplitFrom(0, text, scratch, visit);
}

Result<void> PreTokenizer::SplitFrom(size_t level, std::string_view text,
                                     std::vector<Scratch>& scratch, const Visitor& visit) const {
  if (text.empty()) return {};
  if (level == expressions_.size()) {
    visit(text);
    return {};
  }
  size_t piece_start = 0;
  size_t search_start = 0;
  while (search_start < text.size()) {
    const int result = scratch[level].Match(expressions_[level], text, search_start);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      return Fail(Error(ErrorCode::kTooLarge,
                        fmt::format("The pre-tokenizer gave up: {}", PcreMessage(result)))
                      .Offset(search_start));
    }
    const PCRE2_SIZE* match = pcre2_get_ovector_pointer(scratch[level].data.get());
    const size_t match_start = match[0];
    const size_t match_end = match[1];
    GS_CHECK(match_start >= piece_start && match_end >= match_start && match_end <= text.size());
    GS_TRY(
        SplitFrom(level + 1, text.substr(piece_start, match_start - piece_start), scratch, visit));
    GS_TRY(SplitFrom(level + 1, text.substr(match_start, match_end - match_start), scratch, visit));
    piece_start = match_end;
    search_start = match_end;
    // An empty match cuts here; the next one is looked for behind the next character.
    if (match_end == match_start && match_end < text.size()) {
      search_start += NextUtf8(text.substr(match_end)).byte_size;
    }
  }
  return SplitFrom(level + 1, text.substr(piece_start), scratch, visit);
}

size_t PreTokenizer::memory_bytes() const {
  size_t bytes = 0;
  for (const Expression& expression : expressions_) {
    size_t code_bytes = 0;
    size_t jit_bytes = 0;
    pcre2_pattern_info(expression.code.get(), PCRE2_INFO_SIZE, &code_bytes);
    pcre2_pattern_info(expression.code.get(), PCRE2_INFO_JITSIZE, &jit_bytes);
    bytes += code_bytes + jit_bytes;
  }
  return bytes;
}

}  // namespace gguf_shard
