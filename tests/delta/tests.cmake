if(TARGET delta_test)
  target_sources(delta_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/delta/synthetic_model.cc)
endif()
