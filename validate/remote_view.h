// The source GGUF of a core on a web server, as a ModelView: only the ranges that are asked for are
// fetched (HTTP range requests). Where everything lies is known from the map, so a repair reads the
// header and the damaged places and nothing else. What arrives is not believed (GoodCopy).
// Thread-safety: as every ModelView; requests follow one another.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/map.h"
#include "delta/model_view.h"

namespace gguf_shard {

// "http://..." or "https://...".
bool IsAddress(std::string_view text);

// `address` is that of the first source file; the others of a split model lie beside it under their
// names. kIo when the server cannot be reached or does not serve ranges, kNotFound when it has no
// such file, kMismatch when the file has another size.
Result<std::unique_ptr<ModelView>> ViewRemoteGguf(const std::string& address,
                                                  const MapSource& source);

}  // namespace gguf_shard
