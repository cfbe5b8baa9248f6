if(TARGET atlas_test)
  gs_embed_shaders(atlas_test atlas_test tests/atlas/shaders)
endif()
