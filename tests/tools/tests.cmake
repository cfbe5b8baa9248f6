# The maker of synthetic models: a library for tests, and a program for tests/tools/expectations.mjs.
add_library(gs_synthetic STATIC tools/synthetic_model.cc)
target_link_libraries(gs_synthetic PUBLIC gs_core PRIVATE gs_options)
target_include_directories(gs_synthetic PUBLIC ${PROJECT_SOURCE_DIR})
add_executable(make_synthetic_models EXCLUDE_FROM_ALL tools/make_synthetic_models.cc)
target_link_libraries(make_synthetic_models PRIVATE gs_synthetic gs_options)
