if(TARGET gpu_test)
  gs_embed_shaders(gpu_test gpu_test tests/gpu/shaders)
endif()
