{
  lib,
  rustPlatform,
  stdenv,
  installShellFiles,
  testers,
  versionCheckHook,
  # What `--version` names besides the version.
  commit ? null,
}:

let
  about = (lib.importTOML ../Cargo.toml).package;
in
rustPlatform.buildRustPackage (finalAttrs: {
  pname = about.name;
  inherit (about) version;

  # Changes to any other file, such as the module's documentation, trigger no rebuild.
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.lock
      ../Cargo.toml
      ../LICENSE
      ../benches
      # Tests compare them with the code.
      ../docs/architecture.svg
      ../docs/limits.md
      ../ops
      ../proto
      ../src
      ../tests
      # A test compares it with the program.
      ./reloaded.json
    ];
  };

  cargoLock.lockFile = ../Cargo.lock;

  buildFeatures = [
    "jemalloc"
    "probe"
    "sqs"
  ];
  buildType = "dist";
  # The tests are of the code, whatever its profile: so it is compiled as quickly as can be.
  checkType = "debug";

  nativeBuildInputs = [ installShellFiles ];

  # jemalloc is built for the page size of the build machine; other machines may have pages
  # of up to 64 KiB.
  env.AARCH64_UNKNOWN_LINUX_GNU_JEMALLOC_SYS_WITH_LG_PAGE = "16";

  env.SNOWFLAKE_COMMIT = toString commit;

  # The tests of single modules, which need no other programs and a minute.
  cargoTestFlags = [ "--lib" ];

  postInstall = ''
    install -D --mode=644 --target-directory=$out/share/snowflake-broker/grafana ops/grafana/*.json
    install -D --mode=644 --target-directory=$out/share/snowflake-broker/prometheus ops/prometheus/alerts.yml
    install -D --mode=644 src/config/example.toml $out/share/doc/snowflake-broker/config.toml
    install -D --mode=644 --target-directory=$out/share/doc/snowflake-broker LICENSE
  ''
  # A cross-compiled program cannot be run here.
  + lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    mkdir pages
    $out/bin/snowflake-broker man pages
    installManPage pages/*
    for shell in bash fish zsh; do
      $out/bin/snowflake-broker completions $shell > snowflake-broker.$shell
      installShellCompletion --cmd snowflake-broker --$shell snowflake-broker.$shell
    done
  '';

  doInstallCheck = true;
  nativeInstallCheckInputs = [ versionCheckHook ];

  # The VM test with this package, including overrides.
  passthru.tests.nixos = testers.runNixOSTest {
    imports = [ ./vm-test.nix ];
    defaults = {
      imports = [ ./module.nix ];
      services.snowflake-broker.package = finalAttrs.finalPackage;
    };
  };

  meta = {
    inherit (about) description homepage;
    changelog = "${about.homepage}/blob/v${finalAttrs.version}/CHANGELOG.md";
    license = lib.licenses.bsd3;
    maintainers = [ { name = "The snowflake-broker authors"; } ];
    platforms = lib.platforms.linux;
    mainProgram = about.name;
  };
})
