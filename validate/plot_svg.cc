#include "validate/plot_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "validate/markup.h"

namespace gguf_shard {
namespace {

constexpr double kWidth = 480;
constexpr double kHeight = 260;
constexpr double kLeft = 58;
constexpr double kRight = 16;
constexpr double kTop = 34;
constexpr double kBottom = 46;
constexpr int kTicks = 5;

// 1, 2 or 5 times a power of ten, at least `value`.
double RoundStep(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 2.5, 5.0}) {
    if (step * power >= value * 0.999) return step * power;
  }
  return 10 * power;
}

struct Axes {
  double x_step = 1;
  double y_step = 1;
  double x_end = 1;
  double y_end = 1;

  double X(double x) const { return kLeft + x / x_end * (kWidth - kLeft - kRight); }
  double Y(double y) const { return kHeight - kBottom - y / y_end * (kHeight - kTop - kBottom); }
};

Axes AxesOf(const Plot& plot) {
  double x = 0;
  double y = plot.highest;
  for (const PlotLine& line : plot.lines) {
    for (const auto& [px, py] : line.points) {
      x = std::max(x, px);
      y = std::max(y, py);
    }
  }
  Axes axes;
  axes.x_step = RoundStep(x / kTicks);
  axes.y_step = RoundStep(y / kTicks);
  axes.x_end = std::max(axes.x_step, std::ceil(x / axes.x_step - 1e-9) * axes.x_step);
  axes.y_end = std::max(axes.y_step, std::ceil(y / axes.y_step - 1e-9) * axes.y_step);
  return axes;
}

std::string Grid(const Axes& axes) {
  std::string svg;
  for (double y = 0; y <= axes.y_end * 1.001; y += axes.y_step) {
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"tick y\" x=\"{}\" y=\"{:.1f}\">{:g}</text>",
        kLeft, kWidth - kRight, axes.Y(y), axes.Y(y), kLeft - 7, axes.Y(y) + 4, y);
  }
  for (double x = 0; x <= axes.x_end * 1.001; x += axes.x_step) {
    svg += fmt::format("<text class=\"tick x\" x=\"{:.1f}\" y=\"{}\">{:g}</text>", axes.X(x),
                       kHeight - kBottom + 17, x);
  }
  return svg;
}

std::string LineSvg(const PlotLine& line, const Axes& axes) {
  std::string points;
  std::string dots;
  for (const auto& [x, y] : line.points) {
    points += fmt::format("{:.1f},{:.1f} ", axes.X(x), axes.Y(y));
    dots += fmt::format(
        "<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"><title>{}: {:.4g} at "
        "{:.4g}</title></circle>",
        line.style, axes.X(x), axes.Y(y), Escaped(line.name), y, x);
  }
  return fmt::format("<polyline class=\"line {}\" points=\"{}\"/>{}", line.style, points, dots);
}

}  // namespace

std::string PlotSvg(const Plot& plot) {
  const Axes axes = AxesOf(plot);
  std::string svg = fmt::format(
      "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">"
      "<text class=\"title\" x=\"{}\" y=\"16\">{}</text>",
      kWidth, kHeight, Escaped(plot.title), kLeft, Escaped(plot.title));
  svg += Grid(axes);
  double legend = kWidth - kRight;
  for (const PlotLine& line : plot.lines) {
    svg += LineSvg(line, axes);
    svg += fmt::format("<text class=\"legend {}\" x=\"{:.0f}\" y=\"16\">{}</text>", line.style,
                       legend, Escaped(line.name));
    legend -= 9.0 * static_cast<double>(line.name.size()) + 14;
  }
  return svg +
         fmt::format("<text class=\"axis\" x=\"{:.0f}\" y=\"{}\">{}</text></svg>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 8,
                     Escaped(plot.x_label + (plot.y_label.empty() ? "" : "; ") + plot.y_label));
}

}  // namespace gguf_shard
