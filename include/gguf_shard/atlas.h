/* The atlas as a C library (C11): the pages of a sharded model in a fixed amount of device or host
 * memory, loaded when asked for, every tag checked on arrival.
 *
 *   atlas_handle    an opened map with its memory
 *   shard           the pages of one tensor, or of one expert of a tensor; named by its id
 *   current set     the shards that the last successful atlas_atomic_swap named
 *   page table      on a device: a uint64_t for every page of the core, the device address of the
 *                   4096 bytes of that page for pages of the current set; all others are shown at
 *                   a page of 0xFF bytes
 *
 * Every function returns ATLAS_OK or the kind of its failure; atlas_last_error() then has a
 * sentence with the numbers. No function ends the process because of a file's contents, and none
 * throws.
 *
 * Thread-safety: all functions may be called from many threads at once with the same atlas, except
 * atlas_close, after which it is gone. atlas_last_error() speaks of the calling thread's last
 * failure.
 */
#ifndef GGUF_SHARD_ATLAS_H
#define GGUF_SHARD_ATLAS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define ATLAS_API __attribute__((visibility("default")))
#else
#define ATLAS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Stable numbers; later versions add to the end. */
typedef enum atlas_result {
  ATLAS_OK = 0,
  ATLAS_INVALID_ARGUMENT = 1,
  ATLAS_NOT_FOUND = 2,
  ATLAS_ALREADY_EXISTS = 3,
  ATLAS_IO = 4,
  ATLAS_TRUNCATED = 5,
  ATLAS_MALFORMED = 6,
  ATLAS_UNSUPPORTED = 7,
  ATLAS_TOO_LARGE = 8,
  ATLAS_CHECKSUM_MISMATCH = 9,
  ATLAS_MISMATCH = 10,
  ATLAS_NO_SPACE = 11,
  ATLAS_OUT_OF_MEMORY = 12,
  ATLAS_BUDGET_TOO_SMALL = 13,
  ATLAS_CANCELLED = 14,
  ATLAS_DEVICE = 15,
  ATLAS_INTERNAL = 16
} atlas_result;

/* "checksum_mismatch", for example. The text lives for ever. */
ATLAS_API const char* atlas_result_name(atlas_result result);
/* What the calling thread's last failure was; "" when it had none. Valid until its next one. */
ATLAS_API const char* atlas_last_error(void);

typedef struct atlas_handle atlas_handle;

/* A Vulkan device that the caller made and keeps for as long as the atlas lives. Its features
 * bufferDeviceAddress and timelineSemaphore must be on. Handles are as Vulkan's headers have
 * them, given as pointers. */
typedef struct atlas_vulkan {
  void* get_instance_proc_addr; /* PFN_vkGetInstanceProcAddr; NULL: libvulkan's */
  void* instance;               /* VkInstance */
  void* physical_device;        /* VkPhysicalDevice */
  void* device;                 /* VkDevice */
  void* queue;                  /* VkQueue that computes */
  uint32_t queue_family;
  uint32_t transfer_queue_family;
  void* transfer_queue; /* VkQueue for copies; NULL: `queue` serves */
  const char* const* enabled_extensions;
  size_t enabled_extension_count;
  /* Called around each use of the queues, where the caller uses them too. May be NULL. */
  void (*lock_queues)(void* context);
  void (*unlock_queues)(void* context);
  void* lock_context;
} atlas_vulkan;

#define ATLAS_HOST_MEMORY (-2)
#define ATLAS_BEST_DEVICE (-1)

typedef struct atlas_options {
  size_t struct_size;         /* sizeof(atlas_options) */
  int32_t device;             /* ATLAS_HOST_MEMORY, ATLAS_BEST_DEVICE, or a number of
                                 `gguf-shard devices`; ignored when `vulkan` is given */
  uint32_t io_threads;        /* loads in flight; 0: 4 */
  uint64_t memory_bytes;      /* for all that the atlas keeps there; never exceeded */
  uint64_t host_cache_bytes;  /* host memory behind a device; 0: none */
  const atlas_vulkan* vulkan; /* NULL: the atlas makes a device of its own */
} atlas_options;

/* `map_path` names core.sgmap, or the folder that holds it. */
ATLAS_API atlas_result atlas_open(const char* map_path, const atlas_options* options,
                                  atlas_handle** opened);
/* Waits for what is in flight. NULL is allowed. */
ATLAS_API void atlas_close(atlas_handle* atlas);

typedef struct atlas_shard {
  const char* tensor; /* its name; lives as long as the atlas */
  uint64_t slice;     /* of the tensor: the expert */
  uint64_t first_page;
  uint64_t page_count;
} atlas_shard;

ATLAS_API uint64_t atlas_shard_count(const atlas_handle* atlas);
ATLAS_API atlas_result atlas_shard_info(const atlas_handle* atlas, uint64_t shard_id,
                                        atlas_shard* shard);
/* The ids of a tensor's shards are adjacent. */
ATLAS_API atlas_result atlas_find_tensor(const atlas_handle* atlas, const char* tensor,
                                         uint64_t* first_shard_id, uint64_t* shard_count);

/* Announces shards that will be swapped in or pinned soon. Never waits. */
ATLAS_API atlas_result atlas_prefetch(atlas_handle* atlas, const uint64_t* shard_ids, size_t count);

/* A Vulkan timeline semaphore (VkSemaphore as a number) and a value of it. */
typedef struct atlas_timeline {
  uint64_t semaphore;
  uint64_t value;
} atlas_timeline;

/* Makes these shards the current set, all at once. They are loaded beside the set before them,
 * which needs memory for both, and checked; then one change of the page table shows them. Work that
 * was submitted to the queue before still reads the old set, whose memory is kept until that work
 * has ended.
 *
 * NULL: waits until the change is made. Otherwise returns once it is submitted, and the semaphore
 * gets the value when it is made (devices only). A failure leaves everything as it was, and signals
 * nothing. */
ATLAS_API atlas_result atlas_atomic_swap(atlas_handle* atlas, const uint64_t* shard_ids,
                                         size_t count, const atlas_timeline* signal);

/* Where a page is: 4096 bytes, of which the first 4088 are its content. */
typedef union atlas_page {
  uint64_t device_address;
  const void* host_pointer;
} atlas_page;

/* Loads a shard if it is not there, keeps it where it is until it has been unpinned as often as
 * pinned, and tells where its pages are. `capacity` is at least the shard's page count. */
ATLAS_API atlas_result atlas_pin(atlas_handle* atlas, uint64_t shard_id, atlas_page* pages,
                                 size_t capacity);
ATLAS_API atlas_result atlas_unpin(atlas_handle* atlas, uint64_t shard_id);

/* The page table's device address. ATLAS_UNSUPPORTED in host memory. */
ATLAS_API atlas_result atlas_page_table(const atlas_handle* atlas, uint64_t* device_address);

/* Reads the shards from their file and checks every page; nothing that is loaded is touched. NULL
 * checks all shards. */
ATLAS_API atlas_result atlas_verify(atlas_handle* atlas, const uint64_t* shard_ids, size_t count);

typedef struct atlas_statistics {
  size_t struct_size;    /* sizeof(atlas_statistics), set by the caller */
  uint64_t memory_bytes; /* in use by the atlas */
  uint64_t peak_memory_bytes;
  uint64_t resident_hit_pages;
  uint64_t host_hit_pages;   /* loads that the host cache served */
  uint64_t disk_pages;       /* loads that the file served */
  uint64_t prefetched_pages; /* resident because they were announced */
  uint64_t stalled_pages;
  uint64_t bytes_read;
  uint64_t bytes_to_device;
  uint64_t checked_pages;
  uint64_t retried_pages; /* failed their tag once and passed the second time */
  uint64_t swaps;
  double stall_seconds;
  double check_seconds;
  double swap_mean_seconds;
  double swap_p50_seconds;
  double swap_p99_seconds;
} atlas_statistics;

ATLAS_API atlas_result atlas_stats(const atlas_handle* atlas, atlas_statistics* statistics);

#ifdef __cplusplus
}
#endif

#endif
