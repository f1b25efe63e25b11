import js from '@eslint/js';
import globals from 'globals';

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: 'module', globals: globals.browser },
    rules: {
      complexity: ['error', 10],
      eqeqeq: 'error',
      'max-len': ['error', { code: 100 }],
      'max-params': ['error', 7],
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
];
