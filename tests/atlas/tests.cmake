# The C library's files are tested here over sources that fail; as a library, in tests/capi.
if(TARGET atlas_test)
  gs_embed_shaders(atlas_test atlas_test tests/atlas/shaders)
  target_sources(atlas_test PRIVATE ${PROJECT_SOURCE_DIR}/atlas/capi/atlas_api.cc
                                    ${PROJECT_SOURCE_DIR}/atlas/capi/device_backend.cc
                                    ${PROJECT_SOURCE_DIR}/atlas/capi/host_backend.cc)
endif()
