#include "cli/simulation_chart.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "validate/markup.h"

namespace gguf_shard {
namespace {

constexpr double kWidth = 720;
constexpr double kHeight = 420;
constexpr double kLeft = 60;
constexpr double kRight = 140;
constexpr double kTop = 20;
constexpr double kBottom = 50;

const char* ColorOf(SimulatedPolicy policy) {
  switch (policy) {
    case SimulatedPolicy::kPlainLru:
      return "#999999";
    case SimulatedPolicy::kLru:
      return "#d55e00";
    case SimulatedPolicy::kFrequency:
      return "#0072b2";
    case SimulatedPolicy::kOptimum:
      return "#009e73";
  }
  return "#000000";
}

class Chart {
 public:
  explicit Chart(const std::vector<SimulatedPoint>& points) : points_(points) {
    for (const SimulatedPoint& point : points) {
      max_bytes_ = std::max(max_bytes_, point.budget_bytes);
    }
  }

  std::string Draw() const {
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" width=\"{}\" "
        "height=\"{}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        kWidth, kHeight, kWidth, kHeight);
    svg += Axes();
    double legend_y = kTop + 10;
    for (const SimulatedPolicy policy : kSimulatedPolicies) {
      const std::string line = Line(policy);
      if (line.empty()) continue;
      svg += line;
      svg +=
          fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" fill=\"{}\">{}</text>\n",
                      kWidth - kRight + 12, legend_y, ColorOf(policy), SimulatedPolicyName(policy));
      legend_y += 18;
    }
    return svg + "</svg>\n";
  }

 private:
  double X(uint64_t bytes) const {
    const double share = static_cast<double>(bytes) / static_cast<double>(max_bytes_);
    return kLeft + share * (kWidth - kLeft - kRight);
  }
  static double Y(double ratio) { return kTop + (1 - ratio) * (kHeight - kTop - kBottom); }

  std::string Axes() const {
    std::string svg;
    for (int step = 0; step <= 5; ++step) {
      const double ratio = step / 5.0;
      svg += fmt::format(
          "<line x1=\"{0:.0f}\" y1=\"{1:.1f}\" x2=\"{2:.0f}\" y2=\"{1:.1f}\" stroke=\"#dddddd\"/>"
          "<text x=\"{3:.0f}\" y=\"{4:.1f}\" text-anchor=\"end\">{5} %</text>\n",
          kLeft, Y(ratio), kWidth - kRight, kLeft - 6, Y(ratio) + 4, step * 20);
      const auto bytes = static_cast<uint64_t>(ratio * static_cast<double>(max_bytes_));
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.0f}\" text-anchor=\"middle\">{}</text>\n",
                         X(bytes), kHeight - kBottom + 18, FormatBytes(bytes));
    }
    svg += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"middle\">pool</text>\n",
                       (kLeft + kWidth - kRight) / 2, kHeight - 10);
    return svg;
  }

  std::string Line(SimulatedPolicy policy) const {
    std::string places;
    std::string dots;
    for (const SimulatedPoint& point : points_) {
      if (point.policy != policy) continue;
      const double x = X(point.budget_bytes);
      const double y = Y(point.run.all.hit_ratio());
      places += fmt::format("{:.1f},{:.1f} ", x, y);
      dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x, y,
                          ColorOf(policy));
    }
    if (places.empty()) return {};
    places.pop_back();
    return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                       places, ColorOf(policy)) +
           dots;
  }

  const std::vector<SimulatedPoint>& points_;
  uint64_t max_bytes_ = 1;
};

}  // namespace

std::string SimulationSvg(const std::vector<SimulatedPoint>& points) {
  return Chart(points).Draw();
}

std::string SimulationHtml(const std::vector<SimulatedPoint>& points, const std::string& title,
                           const std::string& table) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta "
      "charset=\"utf-8\"/><title>{0}</title></head>\n"
      "<body style=\"font-family: sans-serif\">\n<h1>{0}</h1>\n<p>Hit ratio over the pool's "
      "size</p>\n{1}<pre>{2}</pre>\n</body></html>\n",
      Escaped(title), SimulationSvg(points), Escaped(table));
}

}  // namespace gguf_shard
