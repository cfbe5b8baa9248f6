# Every source of kernels/cpu is compiled for the instruction set that its name begins with, and
# optimized in every configuration: unoptimized vector code makes the tests too slow, and inlining is
# what keeps wide instructions inside their own functions. Vectors passed by value stay inside one
# source, so the note about their calling convention (psabi) does not concern us.
file(GLOB gs_kernel_cpu_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cc)
foreach(source IN LISTS gs_kernel_cpu_sources)
  get_filename_component(name ${source} NAME)
  set(flags -O3 -Wno-psabi -fno-math-errno -fno-trapping-math)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    if(name MATCHES "^avx2_")
      list(APPEND flags -mavx2 -mfma -mf16c)
    elseif(name MATCHES "^avx512_")
      list(APPEND flags -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
           -mprefer-vector-width=512)
      if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # GCC 12 takes the deliberately undefined operands in its own immintrin.h for mistakes.
        list(APPEND flags -Wno-maybe-uninitialized -Wno-uninitialized)
      endif()
    endif()
  endif()
  if(GS_SANITIZE AND NOT name MATCHES "^portable_")
    # Sanitizers make each of these sources take minutes and a gigabyte to compile. The same templates
    # are checked as portable_*, and reads beyond a page by the tests with guard pages.
    list(APPEND flags -fno-sanitize=all)
  endif()
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}")
endforeach()
