// Keeps llama.cpp from copying its weights into another order: preloaded into the peer of
// bench/stream_bench.sh for runs in memory control groups that are smaller than the model, where the
// copy would be the end of it. Its weights stay in the mapped file then, as they do by default where
// it has no kernels for another order.
//
//   cc -shared -fPIC -O2 -o no_repack.so bench/peer/no_repack.c
//   LD_PRELOAD=./no_repack.so node bench/peer/node_llama_cpp.mjs ...
//
// ggml tells of its repacking buffers through a function that it hands out by name; without that
// function there are none.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

typedef void* (*GetAddress)(void* registry, const char* name);

__attribute__((visibility("default"))) void* ggml_backend_reg_get_proc_address(void* registry,
                                                                               const char* name) {
  if (strcmp(name, "ggml_backend_dev_get_extra_bufts") == 0) return 0;
  void* base = dlopen("libggml-base.so", RTLD_LAZY | RTLD_NOLOAD);
  GetAddress real = base ? (GetAddress)dlsym(base, "ggml_backend_reg_get_proc_address") : 0;
  return real ? real(registry, name) : 0;
}
