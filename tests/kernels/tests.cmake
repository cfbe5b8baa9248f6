# Code for wide instruction sets must not leak into functions that other sources share: in the objects
# of such a source, every symbol that a linker may pick for others carries the set's namespace.
if(TARGET gs_kernels AND CMAKE_NM AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  add_test(NAME kernels.wide_instructions_stay_in_their_namespace
           COMMAND ${CMAKE_COMMAND} -D NM=${CMAKE_NM} -D ARCHIVE=$<TARGET_FILE:gs_kernels>
                   -P ${CMAKE_CURRENT_SOURCE_DIR}/kernels/check_symbols.cmake)
endif()

# The AMX kernels over a model of the tile instructions (kernels/ref/amx_model.h), so that they are
# tested on every processor with AVX-512 VNNI. The linker prefers these objects to those of the
# library, which has the same functions over the real instructions.
if(TARGET gs_kernels AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  file(GLOB amx_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/amx_*.cc)
  add_executable(kernels_amx_model_test kernels/matmul_test.cc ${PROJECT_SOURCE_DIR}/kernels/isa.cc
                                        ${amx_sources})
  target_compile_definitions(kernels_amx_model_test PRIVATE GS_AMX_MODEL)
  target_link_libraries(kernels_amx_model_test PRIVATE gs_options gs_kernels gs_test_support
                                                       GTest::gtest_main)
  foreach(source IN LISTS amx_sources)
    get_source_file_property(flags ${source} TARGET_DIRECTORY gs_kernels COMPILE_OPTIONS)
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${flags}")
  endforeach()
  gs_discover_tests(kernels_amx_model_test kernels.model. *_amx)
endif()
