# Helpers of the forge tests, and the schema check, which needs valijson (libvalijson-dev).
if(TARGET forge_test)
  target_sources(forge_test PRIVATE ${CMAKE_CURRENT_LIST_DIR}/model_builder.cc
                                    ${CMAKE_CURRENT_LIST_DIR}/core_damage.cc)
  find_path(VALIJSON_INCLUDE_DIR valijson/validator.hpp)
  if(VALIJSON_INCLUDE_DIR)
    target_compile_definitions(forge_test PRIVATE GS_HAVE_VALIJSON)
    target_include_directories(forge_test SYSTEM PRIVATE ${VALIJSON_INCLUDE_DIR})
  else()
    message(STATUS "valijson not found (libvalijson-dev): the schema test will be skipped")
  endif()
endif()
