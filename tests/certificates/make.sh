#!/bin/sh
# Makes the certificates of the TLS tests: an authority, two servers and a client that it vouches for, and a stranger.
# They are committed, so that tests need no tool for it; run this in its folder to make them anew.
set -eu
curve="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500"
# shellcheck disable=SC2086  # the words are meant to be several
openssl req -x509 $curve -subj "/CN=test authority" -keyout ca.key -out ca.pem
# shellcheck disable=SC2086  # as above
openssl req -x509 $curve -subj "/CN=stranger" -keyout stranger.key -out stranger.pem
for name in server server2 client; do
    usage=serverAuth
    [ "$name" = client ] && usage=clientAuth
    # shellcheck disable=SC2086  # as above
    openssl req $curve -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
    printf 'subjectAltName=IP:127.0.0.1,IP:::1\nextendedKeyUsage=%s\n' "$usage" >"$name.ext"
    openssl x509 -req -in "$name.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -extfile "$name.ext" \
        -out "$name.pem"
    rm "$name.csr" "$name.ext"
done
openssl ec -in server.key -aes128 -passout pass:secret -out locked.key
rm ca.key ca.srl
