#include "runtime/tokenizer.h"
#include "runtime/utf8.h"

namespace gguf_shard {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace

std::string Utf8Stream::Push(std::string_view bytes) {
  pending_.append(bytes);
  std::string whole;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Utf8Step step = NextUtf8(rest);
    if (step.kind == Utf8Kind::kIncomplete) break;
    whole.append(step.kind == Utf8Kind::kCharacter ? rest.substr(0, step.byte_size) : kReplacement);
    rest.remove_prefix(step.byte_size);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return whole;
}

std::string Utf8Stream::Finish() {
  // What is pending is one character's beginning, never more: one replacement stands for it.
  std::string last(pending_.empty() ? std::string_view() : kReplacement);
  pending_.clear();
  return last;
}

}  // namespace gguf_shard
