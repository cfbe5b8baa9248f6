# Hostile GGUFs: made by one table of cases, committed as files, replayed by core_test.
# `write_fixtures tests/corruption` writes the files anew after a change of the table.
if(TARGET core_test)
  add_library(gs_hostile_gguf STATIC ${CMAKE_CURRENT_LIST_DIR}/hostile_gguf.cc)
  target_link_libraries(gs_hostile_gguf PUBLIC gs_core gs_options)
  target_link_libraries(core_test PRIVATE gs_hostile_gguf)

  add_executable(write_fixtures EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/write_fixtures.cc)
  target_link_libraries(write_fixtures PRIVATE gs_hostile_gguf)
endif()
