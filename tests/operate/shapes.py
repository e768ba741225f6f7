"""Files of SCAR, of several ages, written for these tests."""

VERSION_3 = """
functions:
  scar-darknet:
    image: grycap/darknet
    memory: 2048
    time: 30
    execution_mode: lambda-batch
    log_level: debug
    init_script: yolo.sh
    environment:
      ITERATIONS: "10"
      API_TOKEN: s3cr3t
    lambda_environment:
      REGION_HINT: eu
    s3:
      input_bucket: scar-test
"""

FOLDERS_3 = """
functions:
  parser:
    image: grycap/ffmpeg
    s3: {input_bucket: one-bucket, input_folder: in, output_bucket: two-bucket, output_folder: out}
"""

BETA_NAMED = """
functions:
  aws:
  - lambda:
      name: split
      image: grycap/ffmpeg
      init_script: split.sh
      execution_mode: batch
      input:
      - storage_name: s3-bucket
        path: videos
      output:
      - storage_name: minio-bucket
        path: videos/out
storages:
  s3:
  - name: s3-bucket
  minio:
  - name: minio-bucket
    auth: {user: muser, pass: mpass, host: 'https://minio.example.org'}
"""

BETA_PLAIN = """
functions:
  aws:
  - lambda:
      name: function1
      container: {image: a/b}
      input:
      - storage: minio
        path: my-bucket/test
      - storage: s3
        path: s3-bucket/test1
      output:
      - storage: minio
        path: my-bucket/test-output
        files:
          sufix: [wav, srt]
      - storage: s3
        path: s3-bucket/out
        files: {prefix: [my_file]}
storages:
  minio: {endpoint: 'http://minio:9000', access_key: muser, secret_key: mpass}
  s3: {access_key: awsuser, secret_key: awskey, region: us-east-1}
"""

BETA_LIST = """
functions:
  - name: function1
    image: a/b
    input:
      - name: s3-bucket
        path: s3-bucket/test1
    output:
      - name: minio-local
        path: my-bucket/out
storages:
  - name: minio-local
    type: minio
    auth: {user: muser, pass: mpass}
  - name: s3-bucket
    type: S3
"""

VERSION_4 = """
functions:
  aws:
  - lambda:
      name: function1
      runtime: python3.7
      memory: 1024
      my_own: 1
      layers: ['arn:aws:lambda:us-east-1:1:layer:faas-supervisor:3']
      supervisor: {version: latest}
      init_script: run.sh
      container:
        image: jrottenberg/ffmpeg:4.1-ubuntu
        timeout_threshold": 12
        environment:
          Variables: {KEY1: val1, DB_PASSWORD: hunter2}
      input:
      - {storage_provider: minio.my_minio, path: my-bucket/test}
      - {storage_provider: s3.my_s3, path: my-bucket/test}
    iam: {boto_profile: default, role: ""}
    cloudwatch: {boto_profile: default, region: us-east-1}
    batch:
      compute_resources:
        instance_types: [m3.medium]
        security_group_ids: [sg-1]
  oscar:
  - my_oscar:
      name: service1
      memory: 1Gi
      cpu: 1.0
      image: grycap/darknet
      script: yolo.sh
      input:
      - {storage_provider: minio.my_minio, path: my-bucket/test}
storage_providers:
  s3:
    my_s3: {access_key: awsuser, secret_key: awskey, region: us-east-1}
  minio:
    my_minio: {endpoint: 'http://minio:9000', verify: True, access_key: muser, secret_key: mpass}
clusters:
  my_oscar: {endpoint: 'https://oscar.example.org', auth_user: oscar, auth_password: topsecret}
scar: {config_version: 1.1.0}
extra: {a: 1}
"""
