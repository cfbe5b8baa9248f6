# Helpers of the forge tests.
if(TARGET forge_test)
  target_sources(forge_test PRIVATE ${CMAKE_CURRENT_LIST_DIR}/model_builder.cc
                                    ${CMAKE_CURRENT_LIST_DIR}/core_damage.cc)
endif()
