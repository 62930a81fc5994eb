{
  description = "A Snowflake broker: introduces censored clients to volunteer proxies";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      forEachSystem =
        make:
        nixpkgs.lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: make nixpkgs.legacyPackages.${system} self.packages.${system}.snowflake-broker);
    in
    {
      packages = forEachSystem (
        pkgs: package: {
          default = package;
          snowflake-broker = pkgs.callPackage ./nix/package.nix { commit = self.shortRev or null; };
          image = pkgs.callPackage ./nix/image.nix { snowflake-broker = package; };
        }
      );

      apps = forEachSystem (
        _: package: {
          default = {
            type = "app";
            program = nixpkgs.lib.getExe package;
            meta.description = "Run the Snowflake broker";
          };
        }
      );

      overlays.default = final: _: {
        snowflake-broker = final.callPackage ./nix/package.nix { commit = self.shortRev or null; };
      };

      nixosModules = {
        default = self.nixosModules.snowflake-broker;
        snowflake-broker = ./nix/module.nix;
      };

      checks = forEachSystem (
        pkgs: package: {
          inherit package;
          module-eval = pkgs.callPackage ./nix/module-test.nix {
            inherit (nixpkgs.lib) nixosSystem;
            module = self.nixosModules.default;
          };
          vm = package.tests.nixos;
          format = pkgs.runCommand "format" { nativeBuildInputs = [ pkgs.nixfmt ]; } ''
            nixfmt --check ${./flake.nix} ${./nix}/*.nix
            touch $out
          '';
        }
      );

      devShells = forEachSystem (
        pkgs: package: {
          default = pkgs.mkShell {
            inputsFrom = [ package ];
            packages = [
              pkgs.clippy
              pkgs.rustfmt
              pkgs.rust-analyzer
              pkgs.nixfmt
              pkgs.deadnix
              pkgs.shellcheck
            ];
          };
        }
      );

      formatter = forEachSystem (pkgs: _: pkgs.nixfmt-tree);
    };
}
