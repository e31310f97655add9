#!/usr/bin/env bash
# Holds every route against its description with schemathesis: described.sh PYTHON FOLDER
#
# Left out are the calls that would take away the key that it works with, and the check that whatever fits the description
# is accepted: a page token, a time to come and a range of at most a year are valid or not for reasons that no schema
# can say. That numbers, lengths and words are what the description says is the integration suite's to show.
set -uo pipefail

python=$1
cd "$2"
name="openapi: schemathesis finds no answer that is not as described"
"$python" -m schemathesis.cli run "$ORQEN_URL/openapi.json" -H "Authorization: Bearer $ORQEN_FIRST_KEY" \
    --exclude-operation-id-regex 'RevokeKey|RotateKey|UpdateKey|SetToollist' --exclude-checks positive_data_acceptance \
    --generation-deterministic --max-examples 20 --phases examples,coverage,fuzzing --continue-on-failure \
    --no-color --warnings off >schemathesis 2>&1
if (($? == 0)) && grep -q 'Tested: [1-9]' schemathesis; then
    echo "ok      $name"
    grep -E 'Tested:|[0-9]+ generated' schemathesis | sed 's/^ */        /'
else
    echo "FAILED  $name"
    tail -n 100 schemathesis
    exit 1
fi
