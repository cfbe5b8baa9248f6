#include "runtime/pretokenizer_patterns.h"

#include <algorithm>
#include <array>
#include <vector>

namespace gguf_shard {
namespace {

using Pattern = std::string_view;

// GPT-2, and the byte-level pre-tokenizer of the tokenizers library.
#define GS_GPT2 R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re"
// Pieces that many patterns share.
#define GS_CONTRACTIONS R"re((?i:'s|'t|'re|'ve|'m|'ll|'d))re"
#define GS_WORD R"re([^\r\n\p{L}\p{N}]?\p{L}+)re"
#define GS_PUNCTUATION R"re( ?[^\s\p{L}\p{N}]+[\r\n]*)re"
#define GS_PUNCTUATION_SLASH R"re( ?[^\s\p{L}\p{N}]+[\r\n/]*)re"
#define GS_NEWLINES R"re(\s*[\r\n]+)re"
#define GS_SPACES R"re(\s+(?!\S)|\s+)re"
// Words by case, from GPT-4o on: capitals, then the rest.
#define GS_UPPER R"re([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])re"
#define GS_LOWER R"re([\p{Ll}\p{Lm}\p{Lo}\p{M}])re"
#define GS_PREFIX R"re([^\r\n\p{L}\p{N}]?)re"
#define GS_CASED_WORDS(suffix) \
  GS_PREFIX GS_UPPER "*" GS_LOWER "+" suffix "|" GS_PREFIX GS_UPPER "+" GS_LOWER "*" suffix
// The same without Han characters, which Kimi keeps apart. Last loops are possessive: nothing after
// them can fail, and so they need no memory a character.
#define GS_NOT_HAN R"re((?!\p{sc:Han}))re"
#define GS_KIMI_UPPER "(?:" GS_NOT_HAN GS_UPPER ")"
#define GS_KIMI_LOWER "(?:" GS_NOT_HAN GS_LOWER ")"
#define GS_KIMI_WORDS                                                                         \
  GS_PREFIX GS_KIMI_UPPER "*" GS_KIMI_LOWER "++" GS_CONTRACTIONS "?|" GS_PREFIX GS_KIMI_UPPER \
                          "++" GS_KIMI_LOWER "*+" GS_CONTRACTIONS "?"
// Ideographs, Hiragana and Katakana.
#define GS_JAPANESE_CHINESE R"re([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)re"
// As DeepSeek has it: ideographs, everything between U+0800 and them, Hangul.
#define GS_DEEPSEEK_CJK R"re([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)re"
#define GS_LLAMA3 \
  GS_CONTRACTIONS "|" GS_WORD R"re(|\p{N}{1,3}|)re" GS_PUNCTUATION "|" GS_NEWLINES "|" GS_SPACES
#define GS_QWEN2 \
  GS_CONTRACTIONS "|" GS_WORD R"re(|\p{N}|)re" GS_PUNCTUATION "|" GS_NEWLINES "|" GS_SPACES
#define GS_BLOOM R"re( ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+)re"
// Letters, punctuation and marks of DeepSeek-V3 and its kin.
#define GS_DEEPSEEK3_WORDS                                 \
  R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)re" \
  R"re(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+)re"

constexpr Pattern kGpt2[] = {GS_GPT2};
// Single digits first: StarCoder and many after it.
constexpr Pattern kDigitsGpt2[] = {R"re(\p{N})re", GS_GPT2};
constexpr Pattern kLlama3[] = {GS_LLAMA3};
constexpr Pattern kQwen2[] = {GS_QWEN2};
constexpr Pattern kQwen35[] = {
    GS_CONTRACTIONS
    R"re(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)re" GS_NEWLINES
    "|" GS_SPACES};
constexpr Pattern kTekken[] = {GS_CASED_WORDS("") R"re(|\p{N}|)re" GS_PUNCTUATION_SLASH
                                                  "|" GS_NEWLINES "|" GS_SPACES};
constexpr Pattern kGpt4o[] = {GS_CASED_WORDS(
    GS_CONTRACTIONS "?") R"re(|\p{N}{1,3}|)re" GS_PUNCTUATION_SLASH "|" GS_NEWLINES "|" GS_SPACES};
constexpr Pattern kKimiK2[] = {R"re(\p{sc:Han}+|)re" GS_KIMI_WORDS
                               R"re(|\p{N}{1,3}|)re" GS_PUNCTUATION "|" GS_NEWLINES "|" GS_SPACES};
// Published with greedy loops; possessive ones match the same, for nothing after them can fail.
constexpr Pattern kExaoneMoe[] = {
    GS_CONTRACTIONS R"re(|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*+(?: \p{L}\p{M}*+)*+)++|\p{N}|)re"
                    R"re( ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|)re" GS_SPACES};
constexpr Pattern kBailing[] = {
    R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|)re"
    R"re(\s*[\r\n]|)re" GS_SPACES};
constexpr Pattern kSeedCoder[] = {GS_CONTRACTIONS
                                  "|" GS_WORD R"re(|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)re" GS_NEWLINES
                                  "|" GS_SPACES};
constexpr Pattern kLaguna[] = {R"re([^\n]+|[\n]+)re", GS_QWEN2};
constexpr Pattern kMiniCpm5[] = {R"re(\p{N}{1,3})re",
                                 GS_CONTRACTIONS "|" GS_WORD R"re(|\p{N}+|)re" GS_PUNCTUATION
                                                 "|" GS_NEWLINES "|" GS_SPACES};
constexpr Pattern kJais2[] = {
    GS_CONTRACTIONS
    "|" GS_WORD R"re(|\p{N}{1,3}|)re" GS_PUNCTUATION "|" GS_NEWLINES
    R"re(|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S))re"
    R"re(|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})re"};
constexpr Pattern kBloom[] = {GS_BLOOM};
constexpr Pattern kViking[] = {GS_BLOOM, R"re(\p{N})re"};
constexpr Pattern kChameleon[] = {
    R"re(<sentinel:[0-9]+>)re",    R"re((IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z)re",
    R"re(([\t\n]|    |  ))re",     R"re(\p{N})re",
    R"re([\p{P}!-/:-@\[-`{-~])re", GS_GPT2};
constexpr Pattern kYoutu[] = {
    R"re([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|)re"
    R"re([\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B}\x{FF0C})re"
    R"re(\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|)re" GS_JAPANESE_CHINESE,
    GS_CASED_WORDS(GS_CONTRACTIONS "?") R"re(|\p{N}|)re" GS_PUNCTUATION_SLASH "|" GS_NEWLINES
                                        "|" GS_SPACES};

// Punctuation, then GPT-2, then digits by three. (The published pre-tokenizer has a step between
// the last two that parts digits from the rest, after bytes became characters; its vocabulary has
// no merge across those cuts.)
constexpr Pattern kFalcon[] = {R"re([\p{P}\$\+<=>\^~\|`]+)re", GS_GPT2, "[0-9][0-9][0-9]"};
// What vocabularies of unknown origin get in the field.
constexpr Pattern kDefault[] = {R"re([\p{P}\$\+<=>\^~\|]+)re", GS_GPT2, R"re(\p{N}+)re",
                                "[0-9][0-9][0-9]"};

constexpr Pattern kDeepSeekCoder[] = {R"re([\r\n])re", R"re(\s?\p{L}+)re", R"re(\s?\p{P}+)re",
                                      GS_DEEPSEEK_CJK, R"re(\p{N})re"};
constexpr Pattern kDeepSeek3[] = {R"re(\p{N}{1,3})re", GS_JAPANESE_CHINESE,
                                  GS_DEEPSEEK3_WORDS R"re([\r\n]*|)re" GS_NEWLINES "|" GS_SPACES};
constexpr Pattern kSpark25[] = {R"re(\p{N}{1,3})re", GS_JAPANESE_CHINESE,
                                GS_DEEPSEEK3_WORDS R"re(|[\r\n]|)re" GS_SPACES, R"re(\p{N})re"};
// The letters are listed: those with case, of some scripts. The look-behind before \s+$ changes no
// match; it spares a search from every space of a long run.
constexpr Pattern kDeepSeekLlm[] = {
    R"re([\r\n])re",
    R"re(\s?[)re"
    R"re(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF})re"
    R"re(\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D})re"
    R"re(\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5})re"
    R"re(\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})re"
    R"re(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B})re"
    R"re(\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D})re"
    R"re(\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D})re"
    R"re(\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4})re"
    R"re(\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC})re"
    R"re(\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115})re"
    R"re(\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})re"
    R"re(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184})re"
    R"re(\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3})re"
    R"re(\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})re"
    R"re(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17})re"
    R"re(\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3})re"
    R"re(\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF})re"
    R"re(\x{1E900}-\x{1E943})re"
    R"re(]+)re",
    R"re(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)re",
    R"re((?<!\s)\s+$)re",
    GS_DEEPSEEK_CJK,
    R"re(\p{N})re"};

struct NamedSpec {
  std::string_view name;
  PreTokenizerSpec spec;
};

constexpr PreTokenizerSpec Plain(std::span<const Pattern> patterns) {
  return {patterns, false, false};
}
constexpr PreTokenizerSpec IgnoringMerges(std::span<const Pattern> patterns) {
  return {patterns, true, false};
}
constexpr PreTokenizerSpec IgnoringMergesWithBos(std::span<const Pattern> patterns) {
  return {patterns, true, true};
}

// Ascending by name.
constexpr NamedSpec kSpecs[] = {
    {"a.x-4.0", Plain(kGpt2)},
    {"bailingmoe", Plain(kBailing)},
    {"bailingmoe2", Plain(kBailing)},
    {"bloom", Plain(kBloom)},
    {"chameleon", {kChameleon, false, true}},
    {"chatglm-bpe", Plain(kLlama3)},
    {"codeshell", Plain(kDigitsGpt2)},
    {"command-r", Plain(kDigitsGpt2)},
    {"dbrx", Plain(kLlama3)},
    {"deepseek-coder", Plain(kDeepSeekCoder)},
    {"deepseek-llm", Plain(kDeepSeekLlm)},
    {"deepseek-r1-qwen", Plain(kQwen2)},
    {"deepseek-v3", Plain(kDeepSeek3)},
    {"default", Plain(kDefault)},
    {"exaone", Plain(kDigitsGpt2)},
    {"exaone-moe", Plain(kExaoneMoe)},
    {"exaone4", Plain(kGpt2)},
    {"falcon", Plain(kFalcon)},
    {"falcon-h1", IgnoringMergesWithBos(kLlama3)},
    {"falcon3", IgnoringMergesWithBos(kLlama3)},
    {"gigachat", Plain(kGpt2)},
    {"glm4", Plain(kLlama3)},
    {"gpt-2", Plain(kGpt2)},
    {"gpt-4o", Plain(kGpt4o)},
    {"gpt3-finnish", Plain(kBloom)},
    {"granite-docling", Plain(kGpt2)},
    {"grok-2", Plain(kQwen2)},
    {"hunyuan", Plain(kQwen2)},
    {"hunyuan-dense", Plain(kDeepSeek3)},
    {"hy_v4", Plain(kDeepSeek3)},
    {"jais", Plain(kGpt2)},
    {"jais-2", Plain(kJais2)},
    {"joyai-llm", Plain(kDeepSeek3)},
    {"kanana2", Plain(kGpt4o)},
    {"kimi-k2", Plain(kKimiK2)},
    {"kormo", Plain(kQwen2)},
    {"laguna", Plain(kLaguna)},
    {"lfm2", IgnoringMergesWithBos(kLlama3)},
    {"llada-moe", Plain(kBailing)},
    {"llama-bpe", IgnoringMergesWithBos(kLlama3)},
    {"llama-v3", IgnoringMergesWithBos(kLlama3)},
    {"llama3", IgnoringMergesWithBos(kLlama3)},
    {"llama4", Plain(kGpt4o)},
    {"megrez", Plain(kQwen2)},
    {"mellum", Plain(kGpt2)},
    {"mellum2", Plain(kDigitsGpt2)},
    {"midm-2.0", IgnoringMergesWithBos(kLlama3)},
    {"minerva-7b", Plain(kDigitsGpt2)},
    {"minicpm5", IgnoringMerges(kMiniCpm5)},
    {"minimax-m2", Plain(kGpt4o)},
    {"mpt", Plain(kGpt2)},
    {"olmo", Plain(kGpt2)},
    {"phi-2", Plain(kGpt2)},
    {"pixtral", IgnoringMergesWithBos(kLlama3)},
    {"poro-chat", Plain(kBloom)},
    {"qwen2", Plain(kQwen2)},
    {"qwen35", Plain(kQwen35)},
    {"refact", Plain(kDigitsGpt2)},
    {"seed-coder", Plain(kSeedCoder)},
    {"smaug-bpe", Plain(kLlama3)},
    {"smollm", Plain(kDigitsGpt2)},
    {"solar-open", Plain(kQwen2)},
    {"spark2_5", Plain(kSpark25)},
    {"stablelm2", Plain(kQwen2)},
    {"starcoder", Plain(kDigitsGpt2)},
    {"talkie", Plain(kGpt4o)},
    {"tekken", IgnoringMergesWithBos(kTekken)},
    {"trillion", Plain(kGpt2)},
    {"viking", Plain(kViking)},
    {"youtu", IgnoringMerges(kYoutu)},
};
static_assert(std::ranges::is_sorted(kSpecs, {}, &NamedSpec::name));

}  // namespace

const PreTokenizerSpec* FindPreTokenizer(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kSpecs, name, {}, &NamedSpec::name);
  return found != std::end(kSpecs) && found->name == name ? &found->spec : nullptr;
}

std::span<const std::string_view> PreTokenizerNames() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const NamedSpec& named : kSpecs) all.push_back(named.name);
    return all;
  }();
  return names;
}

}  // namespace gguf_shard
