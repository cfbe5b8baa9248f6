# The C library, as its users have it: through the header and the shared object alone. The example is
# compiled as C11 and run by a test.
add_executable(atlas_example ${PROJECT_SOURCE_DIR}/examples/atlas.c)
set_target_properties(atlas_example PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON
                                               C_EXTENSIONS OFF)
target_compile_options(atlas_example PRIVATE -Wall -Wextra -Wconversion -Wpedantic -Werror)
target_link_libraries(atlas_example PRIVATE gguf-shard::atlas)

add_executable(capi_test ${CMAKE_CURRENT_LIST_DIR}/capi_test.cc)
target_link_libraries(capi_test PRIVATE gs_options gguf-shard::atlas gs_gpu gs_test_support
                                        GTest::gtest_main)
target_compile_definitions(capi_test PRIVATE GS_ATLAS_EXAMPLE="$<TARGET_FILE:atlas_example>")
add_dependencies(capi_test atlas_example)
# The same tests with the library's files linked in: a copy of the Vulkan code of its own, as the shared
# object has, keeps what the validation layers say to itself; here the tests hear it.
add_executable(capi_watched_test ${CMAKE_CURRENT_LIST_DIR}/capi_test.cc ${capi_sources})
target_link_libraries(capi_watched_test PRIVATE gs_options gs_atlas gs_gpu gs_test_support
                                                GTest::gtest_main)
target_compile_definitions(capi_watched_test
                           PRIVATE GS_ATLAS_EXAMPLE="$<TARGET_FILE:atlas_example>")
add_dependencies(capi_watched_test atlas_example)
gtest_discover_tests(capi_watched_test TEST_PREFIX capi.watched. DISCOVERY_TIMEOUT 60
                     PROPERTIES TIMEOUT 600)

if(GS_SANITIZE)
  foreach(target atlas_example)
    target_compile_options(${target} PRIVATE -fsanitize=${GS_SANITIZE})
    target_link_options(${target} PRIVATE -fsanitize=${GS_SANITIZE})
  endforeach()
endif()
gtest_discover_tests(capi_test TEST_PREFIX capi. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)

add_test(NAME capi.exports_only_its_header
         COMMAND ${CMAKE_COMMAND} -DLIBRARY=$<TARGET_FILE:gguf_shard_atlas> -DNM=${CMAKE_NM}
                 -P ${CMAKE_CURRENT_LIST_DIR}/check_exports.cmake)
