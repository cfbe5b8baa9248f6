#include "validate/page_damage.h"

#include <algorithm>
#include <set>

#include "core/page.h"

namespace gguf_shard {
namespace {

class PageDamager {
 public:
  PageDamager(const CoreFile& core, PageRange window, std::span<const std::byte> pages,
              std::mt19937_64& random)
      : id_(core.map().core.id), window_(window), pages_(pages), random_(random) {}

  std::vector<std::byte> Copy(uint64_t page) const {
    const auto bytes = pages_.subspan((page - window_.first_page) * kPageBytes, kPageBytes);
    return {bytes.begin(), bytes.end()};
  }

  std::vector<std::byte> Image(PageDamageKind kind, uint64_t page, uint64_t other) {
    std::vector<std::byte> image = Copy(page);
    switch (kind) {
      case PageDamageKind::kBitFlip:
        image[random_() % kPageBytes] ^= std::byte{1} << (random_() % 8);
        break;
      case PageDamageKind::kBurst:
        Burst(image);
        break;
      case PageDamageKind::kZeroed:
        Zero(image);
        break;
      case PageDamageKind::kSwapped:
      case PageDamageKind::kDuplicated:
        return Copy(other);
      case PageDamageKind::kStale:
        ChangeContent(image);
        SealPage(id_, page, PageAt(image.data(), 0));
        break;
      case PageDamageKind::kForeign:
        SealPage(OtherId(), page, PageAt(image.data(), 0));
        break;
    }
    return image;
  }

 private:
  // Noise, beginning with a byte that differs for certain.
  void Burst(std::vector<std::byte>& image) {
    const uint64_t length = 2 + random_() % 511;
    const uint64_t first = random_() % (kPageBytes - length + 1);
    image[first] ^= static_cast<std::byte>(1 + random_() % 255);
    for (uint64_t i = 1; i < length; ++i) image[first + i] ^= static_cast<std::byte>(random_());
  }

  // The tag's magic goes with the last half; the first half may have been zero.
  void Zero(std::vector<std::byte>& image) {
    const uint64_t how = random_() % 3;
    if (how == 0) std::fill(image.begin(), image.begin() + kPageBytes / 2, std::byte{0});
    if (how == 1) std::fill(image.begin() + kPageBytes / 2, image.end(), std::byte{0});
    if (how == 2) std::fill(image.begin(), image.end(), std::byte{0});
  }

  void ChangeContent(std::vector<std::byte>& image) {
    const uint64_t changes = 1 + random_() % 64;
    for (uint64_t i = 0; i < changes; ++i) {
      image[random_() % kPageContentBytes] ^= static_cast<std::byte>(1 + random_() % 255);
    }
  }

  CoreId OtherId() {
    CoreId id = id_;
    id[random_() % 8] ^= static_cast<std::byte>(1 + random_() % 255);
    return id;
  }

  const CoreId id_;
  PageRange window_;
  std::span<const std::byte> pages_;
  std::mt19937_64& random_;
};

std::vector<uint64_t> ChoosePages(PageRange window, uint64_t count, std::mt19937_64& random) {
  std::set<uint64_t> chosen;
  count = std::min(count, window.page_count);
  while (chosen.size() < count) chosen.insert(window.first_page + random() % window.page_count);
  return {chosen.begin(), chosen.end()};
}

}  // namespace

std::string_view PageDamageName(PageDamageKind kind) {
  switch (kind) {
    case PageDamageKind::kBitFlip:
      return "bit_flip";
    case PageDamageKind::kBurst:
      return "burst";
    case PageDamageKind::kZeroed:
      return "zeroed";
    case PageDamageKind::kSwapped:
      return "swapped";
    case PageDamageKind::kDuplicated:
      return "duplicated";
    case PageDamageKind::kStale:
      return "stale";
    case PageDamageKind::kForeign:
      return "foreign";
  }
  return "unknown";
}

std::vector<DamagedPage> DamagePages(const CoreFile& core, PageRange window,
                                     std::span<const std::byte> pages, PageDamageKind kind,
                                     uint64_t count, std::mt19937_64& random) {
  PageDamager damager(core, window, pages, random);
  // Some kinds need a second page.
  std::vector<uint64_t> chosen = ChoosePages(window, std::max<uint64_t>(count, 2), random);
  if (kind == PageDamageKind::kSwapped && chosen.size() % 2 == 1) chosen.pop_back();
  std::vector<DamagedPage> damaged;
  for (size_t i = 0; i < chosen.size(); ++i) {
    // Its partner when they are swapped; another page in any case.
    const size_t other = kind == PageDamageKind::kSwapped ? i ^ 1 : (i + 1) % chosen.size();
    auto image = damager.Image(kind, chosen[i], chosen[other]);
    if (image != damager.Copy(chosen[i])) damaged.push_back({chosen[i], std::move(image)});
  }
  return damaged;
}

void Inject(const CoreFile& core, std::vector<DamagedPage> pages, FaultFileOperations& operations) {
  for (DamagedPage& page : pages) {
    operations.ReplaceBytes(core.page_offset(page.page_index), std::move(page.image));
  }
}

}  // namespace gguf_shard
