#!/usr/bin/python3
"""validate.py SCHEMA DOCUMENT: prints where a JSON document does not fit a schema (draft-07).

Exit codes: 0 it fits, 1 it does not, 77 Debian's python3-jsonschema is not there. Debian's own
interpreter runs this: another one would not see Debian's modules.
"""

import json
import sys

try:
    import jsonschema
except ImportError:
    print("Debian's python3-jsonschema is not installed")
    sys.exit(77)


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    schema, document = map(read, sys.argv[1:])
    jsonschema.Draft7Validator.check_schema(schema)
    complaints = list(jsonschema.Draft7Validator(schema).iter_errors(document))
    for complaint in complaints:
        print(f"/{'/'.join(map(str, complaint.absolute_path))}: {complaint.message[:200]}")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
