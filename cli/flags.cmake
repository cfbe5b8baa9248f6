target_compile_definitions(gs_cli PRIVATE GS_VERSION="${PROJECT_VERSION}")
