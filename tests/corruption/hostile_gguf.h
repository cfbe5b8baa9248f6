// Every known class of GGUF parser flaw as a small file, with the error that it must end in.
//
// The files are committed beside this (NAME.gguf, and NAME.expected: the error's code, then a
// fragment of its text); `write_fixtures DIR` writes them anew. Pure; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"

namespace gguf_shard {

struct HostileGguf {
  std::string name;
  std::string bytes;
  ErrorCode code;
  std::string fragment;  // of Error::ToString()
};

std::vector<HostileGguf> HostileGgufs();

}  // namespace gguf_shard
