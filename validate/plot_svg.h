// A small line plot as an <svg> element, for the HTML report. Thread-safety: pure functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gguf_shard {

struct PlotLine {
  std::string name;
  std::string style;  // a class that the page styles: "measured", "limit"
  std::vector<std::pair<double, double>> points;
};

struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  double highest = 0;  // of y; 0: from the points
  std::vector<PlotLine> lines;
};

// Axes from zero, with ticks at round numbers; the lines' names beside their last points.
std::string PlotSvg(const Plot& plot);

}  // namespace gguf_shard
