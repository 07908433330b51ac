/* What native_library.py asks a library: its version, and which levels the CPU has. */

#include "arithmetic.h"
#include "version.h"

EXPORT int version(void) { return VERSION; }

EXPORT long lanes(void) { return LANES; }

/* Return whether the CPU and the operating system support a level and gain by it; the levels are numbered as in
   native_library.py. */
EXPORT int cpu_supports(int level) {
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vnni");
    /* A bfloat16 product of Intel's takes longer than the two float32 products that it replaces. */
    int bf16 = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
    int levels[] = {1, avx2, avx512, bf16};
    return level >= 0 && level < 4 && levels[level];
#else
    return level == 0;
#endif
}
