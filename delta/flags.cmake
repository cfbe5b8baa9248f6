if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 takes the deliberately undefined operands in its own immintrin.h for mistakes.
  set_source_files_properties(
    ${PROJECT_SOURCE_DIR}/delta/huffman_streams.cc ${PROJECT_SOURCE_DIR}/delta/quant_predict.cc
    ${PROJECT_SOURCE_DIR}/delta/quant_decode.cc
    ${PROJECT_SOURCE_DIR}/delta/rans_wide.cc ${PROJECT_SOURCE_DIR}/delta/scale_row.cc
    PROPERTIES COMPILE_OPTIONS "-Wno-maybe-uninitialized;-Wno-uninitialized")
endif()
