#Every compute shader against scalar code, on the Vulkan device that is there(lavapipe at least).
if (TARGET gs_kernels AND TARGET gs_gpu)
  file(GLOB kernels_vulkan_sources CONFIGURE_DEPENDS kernels_vulkan/*.cc)
  add_executable(kernels_vulkan_test ${kernels_vulkan_sources})
  target_link_libraries(kernels_vulkan_test PRIVATE gs_options gs_kernels gs_gpu gs_test_support
                                                    GTest::gtest_main)
  # One process: opening a device and its validation layers for each test would take longer than
  # all of them.
  add_test(NAME kernels_vulkan.shaders COMMAND kernels_vulkan_test)
  set_tests_properties(kernels_vulkan.shaders PROPERTIES
                       TIMEOUT 600 ENVIRONMENT "GGUF_SHARD_VULKAN_VALIDATION=1")
endif()
