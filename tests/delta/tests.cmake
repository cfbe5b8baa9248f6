# Cores for the tests are made by forge; the module itself does not know it.
if(TARGET delta_test)
  target_sources(delta_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/delta/synthetic_model.cc)
  if(TARGET gs_forge)
    target_link_libraries(delta_test PRIVATE gs_forge)
  endif()
endif()
