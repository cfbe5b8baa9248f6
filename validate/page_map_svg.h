// The model's pages as a picture: a bar for each layer, tensors in the colour of their zone, what
// stays in memory stronger than what is streamed, damaged pages marked. For the HTML report.
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "core/map.h"
#include "validate/check.h"

namespace gguf_shard {

struct PageMapInput {
  const CoreMap& map;
  const std::vector<PageRange>& resident;  // ascending
  std::vector<PageRange> damaged;
};

// An <svg> element without outside references; its classes are styled by the page.
std::string PageMapSvg(const PageMapInput& input);

}  // namespace gguf_shard
