# The synthetic models of the patch tests serve here too.
if(TARGET validate_test)
  target_sources(validate_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/delta/synthetic_model.cc)
endif()
