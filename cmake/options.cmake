# Flags that every target of the project gets.
add_library(gs_options INTERFACE)
target_include_directories(gs_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(gs_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                                            -Wno-missing-field-initializers -Wnon-virtual-dtor
                                            -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of GCC 12 through inlined std::string (GCC bugs 105329, 105651).
  target_compile_options(gs_options INTERFACE -Wno-restrict)
  if(GS_SANITIZE)
    target_compile_options(gs_options INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overflow)
  endif()
endif()
if(GS_SANITIZE)
  target_compile_options(gs_options INTERFACE -fsanitize=${GS_SANITIZE} -fno-omit-frame-pointer
                                              -fno-sanitize-recover=all)
  target_link_options(gs_options INTERFACE -fsanitize=${GS_SANITIZE})
endif()
if(GS_FUZZ)
  # Coverage for libFuzzer; its main comes with the targets alone (tests/fuzz).
  target_compile_options(gs_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
# Bit-identical results across builds: no contraction or reassociation that the source does not ask for.
target_compile_options(gs_options INTERFACE -ffp-contract=off)

find_program(GS_CCACHE ccache)
if(GS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GS_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${GS_CCACHE})
endif()

if(GS_UNITY)
  # Most of a small source's time goes into its headers. Sources with flags of their own (kernels/cpu) stay alone.
  set(CMAKE_UNITY_BUILD ON)
  set(CMAKE_UNITY_BUILD_BATCH_SIZE 8)
endif()
