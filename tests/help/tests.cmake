# What the program's help says, the completions and the manual page know too.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

if(TARGET gguf-shard)
  add_test(NAME help.completions_are_up_to_date
           COMMAND Python3::Interpreter -B ${PROJECT_SOURCE_DIR}/scripts/make_completions.py --check
                   $<TARGET_FILE:gguf-shard>)
  add_test(NAME help.every_word_is_completed_and_documented
           COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/help_test.py
                   $<TARGET_FILE:gguf-shard> ${PROJECT_SOURCE_DIR})
  add_test(NAME help.bash_completes
           COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/bash_completion_test.sh ${PROJECT_SOURCE_DIR})
endif()
