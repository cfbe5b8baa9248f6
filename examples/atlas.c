/* Loads two sets of shards into device or host memory, one after the other, through the C library.
 *
 *   atlas_example CORE_FOLDER host|auto|N MEMORY_BYTES
 */
#include <gguf_shard/atlas.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int Explain(const char* action, atlas_result result) {
  fprintf(stderr, "%s failed (%s): %s\n", action, atlas_result_name(result), atlas_last_error());
  return 1;
}

static int32_t DeviceOf(const char* word) {
  if (strcmp(word, "host") == 0) return ATLAS_HOST_MEMORY;
  if (strcmp(word, "auto") == 0) return ATLAS_BEST_DEVICE;
  return (int32_t)strtol(word, NULL, 10);
}

/* Pins a shard, says where its first page is, and lets go of it. */
static atlas_result ShowPlace(atlas_handle* atlas, uint64_t shard_id, int in_host_memory) {
  atlas_shard shard;
  atlas_result result = atlas_shard_info(atlas, shard_id, &shard);
  if (result != ATLAS_OK) return result;
  atlas_page* pages = calloc(shard.page_count, sizeof *pages);
  if (pages == NULL) return ATLAS_OUT_OF_MEMORY;
  result = atlas_pin(atlas, shard_id, pages, shard.page_count);
  if (result == ATLAS_OK) {
    printf("shard %" PRIu64 " of %s: %" PRIu64 " pages, the first at %#" PRIx64 "\n", shard_id,
           shard.tensor, shard.page_count,
           in_host_memory ? (uint64_t)(uintptr_t)pages[0].host_pointer : pages[0].device_address);
    result = atlas_unpin(atlas, shard_id);
  }
  free(pages);
  return result;
}

static int Run(atlas_handle* atlas, int in_host_memory) {
  const uint64_t shard_count = atlas_shard_count(atlas);
  for (uint64_t first = 0; first < 4 && first < shard_count; first += 2) {
    uint64_t set[2] = {first, first + 1};
    const size_t count = first + 1 < shard_count ? 2 : 1;
    atlas_result result = atlas_prefetch(atlas, set, count);
    if (result != ATLAS_OK) return Explain("prefetching", result);
    result = atlas_atomic_swap(atlas, set, count, NULL);
    if (result != ATLAS_OK) return Explain("swapping", result);
    result = ShowPlace(atlas, first, in_host_memory);
    if (result != ATLAS_OK) return Explain("pinning", result);
  }
  atlas_statistics statistics = {.struct_size = sizeof statistics};
  const atlas_result result = atlas_stats(atlas, &statistics);
  if (result != ATLAS_OK) return Explain("asking for statistics", result);
  printf("%" PRIu64 " bytes in use, %" PRIu64 " pages read and checked, %" PRIu64 " hits\n",
         statistics.memory_bytes, statistics.checked_pages, statistics.resident_hit_pages);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: %s CORE_FOLDER host|auto|N MEMORY_BYTES\n", argv[0]);
    return 2;
  }
  const atlas_options options = {
      .struct_size = sizeof options,
      .device = DeviceOf(argv[2]),
      .memory_bytes = strtoull(argv[3], NULL, 10),
  };
  atlas_handle* atlas = NULL;
  const atlas_result opened = atlas_open(argv[1], &options, &atlas);
  if (opened != ATLAS_OK) return Explain("opening the atlas", opened);
  const int status = Run(atlas, options.device == ATLAS_HOST_MEMORY);
  atlas_close(atlas);
  return status;
}
