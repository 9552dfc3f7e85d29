/* cuda_profiler_api.h - cudaProfilerStart and Stop are in cuda_runtime.h here. */
#include <cuda_runtime.h>
