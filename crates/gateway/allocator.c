/* Tells the C library's allocator to give large blocks back to the system when they are freed.
 *
 * By itself it raises its threshold to the size of the largest block that was freed, up to 32 MiB: one large body would
 * leave up to 64 MiB behind in each thread. Runs before `main`. */
#include <malloc.h>

/* Blocks of that size are mapped by themselves, bytes. Below it, faults of pages would cost more than they give back. */
#define MAPPED_MIN (512 << 10)
/* What may stay free at the end of a heap, bytes. */
#define FREE_MAX (1 << 20)

__attribute__((constructor)) static void tune_allocator(void) {
    mallopt(M_MMAP_THRESHOLD, MAPPED_MIN);
    mallopt(M_TRIM_THRESHOLD, FREE_MAX);
}
