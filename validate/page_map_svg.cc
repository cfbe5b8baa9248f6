#include "validate/page_map_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "validate/markup.h"

namespace gguf_shard {
namespace {

constexpr double kMapLeft = 82;
constexpr double kMapWidth = 870;
constexpr double kRowHeight = 15;
constexpr double kBarHeight = 11;
constexpr double kThinnest = 0.8;
constexpr double kMark = 4;

struct MapSegment {
  std::string name;
  std::string zone;
  PageRange pages;
};

struct Row {
  std::string label;
  std::vector<MapSegment> segments;
  uint64_t page_count() const {
    uint64_t sum = 0;
    for (const MapSegment& segment : segments) sum += segment.pages.page_count;
    return sum;
  }
};

// Rows in the order of the core: what is before the layers, each layer, what is behind.
std::vector<Row> RowsOf(const CoreMap& map) {
  Row head{"start", {}};
  Row tail{"end", {}};
  std::map<uint32_t, Row> layers;
  for (const MapSourceFile& file : map.source.files) {
    head.segments.push_back({"source header of " + file.name, "other", file.header});
    for (const MapGap& gap : file.gaps) {
      tail.segments.push_back({"gap of " + file.name, "other", gap.pages});
    }
  }
  for (const MapTensor& tensor : map.tensors) {
    const MapSegment segment{tensor.name, std::string(ZoneName(tensor.zone)), tensor.pages()};
    if (tensor.layer) {
      Row& row = layers[*tensor.layer];
      row.label = fmt::format("layer {}", *tensor.layer);
      row.segments.push_back(segment);
    } else {
      (layers.empty() ? head : tail).segments.push_back(segment);
    }
  }
  tail.segments.push_back({"index", "other", map.core.index});
  std::vector<Row> rows = {head};
  for (auto& [layer, row] : layers) rows.push_back(std::move(row));
  rows.push_back(tail);
  return rows;
}

PageRange Overlap(PageRange a, PageRange b) {
  const uint64_t first = std::max(a.first_page, b.first_page);
  const uint64_t end = std::min(a.end_page(), b.end_page());
  return end > first ? PageRange{first, end - first} : PageRange{first, 0};
}

class Painter {
 public:
  Painter(const PageMapInput& input, uint64_t widest_pages)
      : input_(input),
        scale_(kMapWidth / static_cast<double>(std::max<uint64_t>(1, widest_pages))) {}

  void Paint(const Row& row, double top) {
    svg_ += fmt::format("<text class=\"label\" x=\"{}\" y=\"{:.1f}\">{}</text>", kMapLeft - 8,
                        top + kBarHeight - 1, Escaped(row.label));
    double left = kMapLeft;
    for (const MapSegment& segment : row.segments) {
      PaintSegment(segment, left, top);
      left += static_cast<double>(segment.pages.page_count) * scale_;
    }
  }

  std::string Take() { return std::move(svg_); }

 private:
  double X(const MapSegment& segment, double left, uint64_t page) const {
    return left + static_cast<double>(page - segment.pages.first_page) * scale_;
  }

  void Rect(const std::string& style, double left, double width, double top) {
    svg_ +=
        fmt::format("<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\"/>",
                    style, left, top, std::max(width, kThinnest), kBarHeight);
  }

  // The last pixel-wide gap is closed: more cannot be seen.
  void PaintResident(const MapSegment& segment, double left, double top) {
    PageRange open{};
    const auto close = [&] {
      if (open.page_count == 0) return;
      Rect("resident zone-" + segment.zone, X(segment, left, open.first_page),
           static_cast<double>(open.page_count) * scale_, top);
    };
    auto range =
        std::lower_bound(input_.resident.begin(), input_.resident.end(), segment.pages.first_page,
                         [](const PageRange& r, uint64_t page) { return r.end_page() <= page; });
    for (; range != input_.resident.end() && range->first_page < segment.pages.end_page();
         ++range) {
      const PageRange part = Overlap(*range, segment.pages);
      const double gap =
          static_cast<double>(part.first_page - std::min(part.first_page, open.end_page())) *
          scale_;
      if (open.page_count > 0 && gap < kThinnest) {
        open.page_count = part.end_page() - open.first_page;
        continue;
      }
      close();
      open = part;
    }
    close();
  }

  void PaintSegment(const MapSegment& segment, double left, double top) {
    if (segment.pages.page_count == 0) return;
    svg_ += fmt::format("<g><title>{}: pages {} to {}, {}</title>", Escaped(segment.name),
                        segment.pages.first_page, segment.pages.end_page() - 1, segment.zone);
    const double width = static_cast<double>(segment.pages.page_count) * scale_;
    // A hair's breadth between tensors.
    Rect("streamed zone-" + segment.zone, left, width - 0.4, top);
    PaintResident(segment, left, top);
    svg_ += "</g>";
    PaintDamaged(segment, left, top);
  }

  // Marks that would cover each other are one mark.
  void PaintDamaged(const MapSegment& segment, double left, double top) {
    PageRange open{};
    uint64_t damaged_pages = 0;
    const auto close = [&] {
      if (damaged_pages > 0) PaintDamage(segment, open, damaged_pages, left, top);
      damaged_pages = 0;
    };
    auto range =
        std::lower_bound(input_.damaged.begin(), input_.damaged.end(), segment.pages.first_page,
                         [](const PageRange& r, uint64_t page) { return r.end_page() <= page; });
    for (; range != input_.damaged.end() && range->first_page < segment.pages.end_page(); ++range) {
      const PageRange part = Overlap(*range, segment.pages);
      const double gap =
          static_cast<double>(part.first_page - std::min(part.first_page, open.end_page())) *
          scale_;
      if (damaged_pages == 0 || gap >= kMark) {
        close();
        open = part;
      } else {
        open.page_count = part.end_page() - open.first_page;
      }
      damaged_pages += part.page_count;
    }
    close();
  }

  void PaintDamage(const MapSegment& segment, PageRange part, uint64_t damaged_pages, double left,
                   double top) {
    const double width = std::max(kMark, static_cast<double>(part.page_count) * scale_);
    const double middle =
        X(segment, left, part.first_page) + static_cast<double>(part.page_count) * scale_ / 2;
    const std::string among =
        damaged_pages < part.page_count ? fmt::format("{} of ", damaged_pages) : "";
    svg_ += fmt::format(
        "<g><title>damaged: {}, {}pages {} to {}</title><rect class=\"damage\" x=\"{:.2f}\" "
        "y=\"{:.1f}\" width=\"{:.2f}\" height=\"{}\" rx=\"1.5\"/></g>",
        Escaped(segment.name), among, part.first_page, part.end_page() - 1, middle - width / 2,
        top - 1.5, width, kBarHeight + 3);
  }

  const PageMapInput& input_;
  double scale_;
  std::string svg_;
};

}  // namespace

std::string PageMapSvg(const PageMapInput& input) {
  const std::vector<Row> rows = RowsOf(input.map);
  uint64_t widest = 0;
  for (const Row& row : rows) widest = std::max(widest, row.page_count());
  Painter painter(input, widest);
  double top = 4;
  for (const Row& row : rows) {
    painter.Paint(row, top);
    top += kRowHeight;
  }
  return fmt::format(
      "<svg class=\"pages\" viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"The pages of the "
      "model, layer by layer\">{}</svg>",
      kMapLeft + kMapWidth + 8, top + 4, painter.Take());
}

}  // namespace gguf_shard
