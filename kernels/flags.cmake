# Every source of kernels/cpu is compiled for the instruction set that its name begins with, and
# optimized in every configuration: unoptimized vector code makes the tests too slow, and inlining is
# what keeps wide instructions inside their own functions. Vectors passed by value stay inside one
# source, so the note about their calling convention (psabi) does not concern us.
set(gs_kernel_flags -O3 -Wno-psabi -fno-math-errno -fno-trapping-math)
set(gs_kernel_avx2_flags -mavx2 -mfma -mf16c)
set(gs_kernel_avxvnni_flags ${gs_kernel_avx2_flags} -mavxvnni)
set(gs_kernel_avx512_flags ${gs_kernel_avx2_flags} -mavx512f -mavx512bw -mavx512vl -mavx512dq
                           -mavx512vnni -mprefer-vector-width=512)
set(gs_kernel_amx_flags -mamx-tile -mamx-int8)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 takes the deliberately undefined operands in its own immintrin.h for mistakes.
  list(APPEND gs_kernel_avx512_flags -Wno-maybe-uninitialized -Wno-uninitialized)
endif()
if(GS_SANITIZE MATCHES "address")
  # Unrolled kernels hold thousands of loads. Checked inline they take compilers half an hour, checked
  # by calls seconds; no load goes unchecked. The checks of the undefined-behaviour sanitizer that
  # are left out here look at pointers, which the address sanitizer does.
  list(APPEND gs_kernel_flags -O2 -fno-sanitize-address-use-after-scope)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND gs_kernel_flags --param=asan-instrumentation-with-call-threshold=0)
  else()
    list(APPEND gs_kernel_flags -mllvm -asan-instrumentation-with-call-threshold=0)
  endif()
  if(GS_SANITIZE MATCHES "undefined")
    list(APPEND gs_kernel_flags -fno-sanitize=pointer-overflow,null,alignment,object-size,bounds)
  endif()
endif()

file(GLOB gs_kernel_cpu_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cc)
foreach(source IN LISTS gs_kernel_cpu_sources)
  get_filename_component(name ${source} NAME)
  set(flags ${gs_kernel_flags})
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    if(name MATCHES "^avx2_")
      list(APPEND flags ${gs_kernel_avx2_flags})
    elseif(name MATCHES "^avxvnni_")
      list(APPEND flags ${gs_kernel_avxvnni_flags})
    elseif(name MATCHES "^avx512_")
      list(APPEND flags ${gs_kernel_avx512_flags})
    elseif(name MATCHES "^amx_")
      list(APPEND flags ${gs_kernel_avx512_flags} ${gs_kernel_amx_flags})
    endif()
  endif()
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}")
endforeach()
# A test links another one before the library (tests/kernels/tests.cmake): it stays an object of its own.
set_source_files_properties(${PROJECT_SOURCE_DIR}/kernels/isa.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
