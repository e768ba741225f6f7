# . deploy/localstack/env.sh: this shell's AWS is LocalStack from now on.
# Found as localstack-client finds it: LOCALSTACK_HOST (default localhost:4566), USE_SSL.
unset AWS_PROFILE AWS_SESSION_TOKEN
case "${USE_SSL:-}" in 1 | true) scheme=https ;; *) scheme=http ;; esac
case "${LOCALSTACK_HOST:=localhost:4566}" in *:*) ;; *) LOCALSTACK_HOST=$LOCALSTACK_HOST:4566 ;; esac
export LOCALSTACK_HOST
export AWS_ENDPOINT_URL="$scheme://$LOCALSTACK_HOST"
# With this one, bucket names need not be host names.
export AWS_ENDPOINT_URL_S3="$AWS_ENDPOINT_URL"
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
export AWS_REGION="${AWS_REGION:-us-east-1}"
export AWS_DEFAULT_REGION="$AWS_REGION"
export OSCAR_BRIDGE_IMAGES="${OSCAR_BRIDGE_IMAGES:-as-is}"
unset scheme
