// Byte sizes as people write them on a command line: 512M, 2G, 1.5GiB, 800MB, 4096.
// Thread-safety: pure functions.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"

namespace gguf_shard {

// A decimal number, then nothing or B (bytes), K M G T or KiB MiB GiB TiB (powers of 1024), or KB
// MB GB TB (powers of 1000); upper or lower case. Rounded down to whole bytes.
Result<uint64_t> ParseByteSize(std::string_view text);

// An option that takes such a size.
CLI::Option* AddSizeOption(CLI::App& command, const std::string& name, uint64_t& target_bytes,
                           const std::string& description);

}  // namespace gguf_shard
