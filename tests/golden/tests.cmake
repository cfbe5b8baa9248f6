# Whole models against what an independent engine computed: shards with forge, runs with runtime.
if(TARGET gs_forge AND TARGET gs_runtime AND TARGET gs_atlas)
  file(GLOB golden_sources CONFIGURE_DEPENDS golden/*.cc)
  add_executable(golden_test ${golden_sources})
  target_link_libraries(golden_test PRIVATE gs_options gs_forge gs_runtime gs_test_support
                                            gs_synthetic GTest::gtest_main)
  gtest_discover_tests(golden_test TEST_PREFIX golden. DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 600 ENVIRONMENT "GGUF_SHARD_VULKAN_VALIDATION=1")
endif()
