# The command-line tests run the program itself, and link its parts for what needs no process.
if(TARGET cli_test AND TARGET gguf-shard)
  target_sources(cli_test PRIVATE ${CMAKE_CURRENT_LIST_DIR}/program.cc)
  target_compile_definitions(cli_test PRIVATE GS_PROGRAM="$<TARGET_FILE:gguf-shard>")
  add_dependencies(cli_test gguf-shard)
endif()
