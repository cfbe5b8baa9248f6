# The rules of the repository as tests: module walls, style, documents; and the rules' own tests.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

foreach(rules walls style documents)
  add_test(NAME layering.${rules}
           COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/check.py ${rules}
                   ${PROJECT_SOURCE_DIR})
endforeach()
add_test(NAME layering.rules_test
         COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/rules_test.py)
